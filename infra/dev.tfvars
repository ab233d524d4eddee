# An environment to try things in: small, and easy to remove.
project       = "acme-animals-dev"
environment   = "dev"
bucket_prefix = "acme-dev-"

composer_size       = "small"
schedule            = "none"
deletion_protection = false
force_destroy       = true
spot_steps          = ["predict", "train"]
monthly_budget      = 600
alert_emails        = ["animals-dev@example.com"]
