# The environment that people use.
project       = "acme-animals-prod"
environment   = "prod"
bucket_prefix = "acme-"

composer_size            = "medium"
composer_high_resilience = false
schedule                 = "30 14 * * *"
release_channel          = "STABLE"
spot_steps               = ["predict"]
noncurrent_days          = 60
soft_delete_days         = 30
site_host                = "animals.example.com"
build_repository         = "projects/acme-animals-prod/locations/europe-west1/connections/github/repositories/menagerie"
alert_emails             = ["animals@example.com"]
billing_account          = "000000-000000-000000"
monthly_budget           = 1500
