# Without a default a variable must be set: dev.tfvars and prod.tfvars show how.

variable "project" {
  description = "ID of the project that holds everything; it exists and has billing."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "A project ID is 6 to 30 lower-case letters, digits and hyphens, e.g. acme-animals-dev."
  }
}

variable "region" {
  description = "Region of the cluster, the Composer environment, the registry and, unless bucket_location is set, the buckets."
  type        = string
  default     = "europe-west1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "Name a region, e.g. europe-west1; not a zone such as europe-west1-b."
  }
}

variable "environment" {
  description = "Which environment this is; becomes the label `environment` of everything."
  type        = string

  validation {
    condition     = contains(["dev", "prod"], var.environment)
    error_message = "environment is dev or prod."
  }
}

variable "name" {
  description = "Name of the cluster, the Composer environment, the network and the image repository."
  type        = string
  default     = "menagerie"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,20}[a-z0-9]$", var.name))
    error_message = "2 to 22 lower-case letters, digits and hyphens."
  }
}

variable "namespace" {
  description = "Kubernetes namespace of the steps' pods and of the website (MENAGERIE_NAMESPACE)."
  type        = string
  default     = "menagerie"

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "A namespace is at most 63 lower-case letters, digits and hyphens."
  }
}

# Buckets

variable "bucket_prefix" {
  description = "What the names of the four buckets begin with, e.g. acme-dev- for gs://acme-dev-animals_all. Bucket names are shared by all the world."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9_-]{0,43}[_-]$", var.bucket_prefix)) && !startswith(var.bucket_prefix, "goog")
    error_message = "At most 45 lower-case letters, digits, hyphens and underscores that end in - or _ and do not begin with goog."
  }
}

variable "bucket_location" {
  description = "Location of the buckets; empty: the region. A multi-region makes every read from the cluster cost."
  type        = string
  default     = ""
}

variable "noncurrent_days" {
  description = "Days for which a replaced or deleted object is kept as an old version."
  type        = number
  default     = 30

  validation {
    condition     = var.noncurrent_days >= 1
    error_message = "At least 1: without old versions a wrong deletion is final."
  }
}

variable "soft_delete_days" {
  description = "Days for which a bucket gives back what was deleted for good; 0 switches soft deletion off."
  type        = number
  default     = 7

  validation {
    condition     = var.soft_delete_days == 0 || (var.soft_delete_days >= 7 && var.soft_delete_days <= 90)
    error_message = "0, or 7 to 90."
  }
}

variable "cold_reports_days" {
  description = "Age in days from which predictions and reports move to Nearline storage."
  type        = number
  default     = 90

  validation {
    condition     = var.cold_reports_days >= 30
    error_message = "At least 30: Nearline is billed for 30 days at least."
  }
}

variable "quarantine_days" {
  description = "Age in days at which animals_all/_quarantine/ is emptied; 0: never."
  type        = number
  default     = 0

  validation {
    condition     = var.quarantine_days >= 0
    error_message = "0 or more."
  }
}

variable "force_destroy" {
  description = "Whether `terraform destroy` may delete buckets that still hold pictures and models."
  type        = bool
  default     = false
}

# Images and builds

variable "untagged_image_days" {
  description = "Days after which an image without any tag is deleted from the registry."
  type        = number
  default     = 30

  validation {
    condition     = var.untagged_image_days >= 7
    error_message = "At least 7: pods run by digest, and a node that is replaced pulls that digest again."
  }
}

variable "scan_images" {
  description = "Whether images are scanned for known vulnerabilities, before they are pushed and ever after, and get a bill of materials (billed per image)."
  type        = bool
  default     = true
}

variable "build_repository" {
  description = "Cloud Build repository (2nd generation) whose pushes, tags and pull requests are built, projects/…/locations/…/connections/…/repositories/…; empty: builds are submitted by hand."
  type        = string
  default     = ""

  validation {
    condition     = var.build_repository == "" || can(regex("^projects/[^/]+/locations/[^/]+/connections/[^/]+/repositories/[^/]+$", var.build_repository))
    error_message = "The repository's full name: gcloud builds repositories list --connection=… --region=… --format='value(name)'."
  }
}

variable "build_branch" {
  description = "The branch whose pushes are built and rolled out here."
  type        = string
  default     = "main"

  validation {
    condition     = can(regex("^[A-Za-z0-9._/-]+$", var.build_branch))
    error_message = "A branch's name, not a regular expression."
  }
}

# The cluster

variable "cluster_endpoint" {
  description = "How Composer reaches the cluster's API (MENAGERIE_CLUSTER_ENDPOINT): dns, its name, guarded by IAM; private, its internal address in the network."
  type        = string
  default     = "dns"

  validation {
    condition     = contains(["dns", "private"], var.cluster_endpoint)
    error_message = "dns or private."
  }
}

variable "release_channel" {
  description = "GKE release channel of the cluster."
  type        = string
  default     = "REGULAR"

  validation {
    condition     = contains(["RAPID", "REGULAR", "STABLE", "EXTENDED"], var.release_channel)
    error_message = "RAPID, REGULAR, STABLE or EXTENDED."
  }
}

variable "maintenance_window" {
  description = "When GKE and Composer may maintain themselves (RFC 3339 times, RFC 5545 recurrence); 12 hours a week at least."
  type = object({
    start      = string
    end        = string
    recurrence = string
  })
  default = {
    start      = "2026-01-03T00:00:00Z"
    end        = "2026-01-03T08:00:00Z"
    recurrence = "FREQ=WEEKLY;BYDAY=SA,SU"
  }
}

variable "deletion_protection" {
  description = "Whether Terraform refuses to delete the cluster."
  type        = bool
  default     = true
}

variable "network_ranges" {
  description = "Address ranges of the network: nodes, pods and services."
  type = object({
    nodes    = string
    pods     = string
    services = string
  })
  default = {
    nodes    = "10.10.0.0/22"
    pods     = "10.20.0.0/16"
    services = "10.30.0.0/20"
  }

  validation {
    condition     = alltrue([for range in values(var.network_ranges) : can(cidrhost(range, 0))])
    error_message = "Each range is CIDR, e.g. 10.10.0.0/22."
  }
}

# Composer

variable "composer_image" {
  description = "Composer 3 image with Airflow 3.1; an alias (composer-3-airflow-3.1) takes the newest build when the environment is made."
  type        = string
  default     = "composer-3-airflow-3.1"

  validation {
    condition     = can(regex("^composer-3-airflow-3\\.1(\\.[0-9]+(-build\\.[0-9]+)?)?$", var.composer_image))
    error_message = "Menagerie is made for Composer 3 with Airflow 3.1, e.g. composer-3-airflow-3.1 or composer-3-airflow-3.1.7-build.2."
  }
}

variable "composer_size" {
  description = "Size of the environment: small (a few runs a day), medium (mapped over tens of shards), large (hundreds of shards)."
  type        = string
  default     = "small"

  validation {
    condition     = contains(["small", "medium", "large"], var.composer_size)
    error_message = "small, medium or large."
  }
}

variable "composer_high_resilience" {
  description = "Whether the environment's database and components stand in several zones (costs more)."
  type        = bool
  default     = false
}

variable "airflow_allowed_ranges" {
  description = "Addresses that may open Airflow's web server; empty: any (IAM asks for a login in any case)."
  type        = map(string) # CIDR range = what it is
  default     = {}
}

variable "schedule" {
  description = "When the pipeline runs: a cron expression, or `none` for only when triggered (MENAGERIE_SCHEDULE)."
  type        = string
  default     = "30 14 * * *"

  validation {
    condition     = var.schedule == "none" || length(regexall("\\S+", var.schedule)) == 5 || startswith(var.schedule, "@")
    error_message = "A cron expression of five fields, such as '30 14 * * *', or none."
  }
}

variable "deferrable" {
  description = "Whether tasks wait for their pods in the triggerer and not on a worker (MENAGERIE_DEFERRABLE)."
  type        = bool
  default     = true
}

variable "registry_url" {
  description = "Git URL of the data registry, whose tags name datasets and models (MENAGERIE_REGISTRY). Empty: nothing is versioned. Without credentials: they are registry_secret's."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(|https://[^/@[:space:]]+/[^[:space:]]+|ssh://[^/:[:space:]]+(:[0-9]+)?/[^[:space:]]+|[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+:[^[:space:]]+)$", var.registry_url))
    error_message = "A git URL such as https://example.com/acme/animals-data.git, without a name, password or token in it."
  }
}

variable "registry_secret" {
  description = "Kubernetes Secret with git's credentials for the data registry: keys username and password, or ssh-privatekey and known_hosts (MENAGERIE_REGISTRY_SECRET). Empty: none are needed."
  type        = string
  default     = ""
}

variable "registry_pool" {
  description = "Airflow pool of the snapshots (MENAGERIE_REGISTRY_POOL). It has to exist, or they wait for ever (docs/composer.md makes it). Empty: Airflow's default pool."
  type        = string
  default     = ""
}

variable "tracking_secret" {
  description = "Kubernetes Secret whose keys are variables of the training's pod: MLFLOW_TRACKING_URI, WANDB_API_KEY, … (MENAGERIE_TRACKING_SECRET). Empty: none."
  type        = string
  default     = ""
}

variable "weights" {
  description = "What training starts from without a champion, unless a run says otherwise: auto, none, or the gs:// URI of a safetensors file, for closed networks (MENAGERIE_WEIGHTS)."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(|auto|none|gs://[^[:space:]]+)$", var.weights))
    error_message = "auto, none, or gs://<bucket>/<file>.safetensors."
  }
}

variable "spot_steps" {
  description = "Steps that run on Spot nodes (MENAGERIE_SPOT): cheaper, and evicted now and then."
  type        = set(string)
  default     = []

  validation {
    condition     = length(setsubtract(var.spot_steps, ["predict", "train"])) == 0
    error_message = "Only predict and train may run on Spot nodes: they are small enough to repeat or resume."
  }
}

variable "pods" {
  description = "What differs from plugins/menagerie/resources.py: step → resources (MENAGERIE_PODS), e.g. { train = { cpu = \"8\", memory = \"32Gi\" } }."
  type        = any
  default     = {}

  validation {
    condition     = can([for resources in values(var.pods) : keys(resources)])
    error_message = "An object of objects, step → resources, such as { train = { memory = \"32Gi\" } }."
  }
}

# The website

variable "site_host" {
  description = "Public host name of the website (MENAGERIE_SITE_HOST); empty: it answers inside the cluster only."
  type        = string
  default     = ""

  validation {
    condition     = var.site_host == "" || can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.site_host))
    error_message = "A host name such as animals.example.com."
  }
}

variable "site_expose" {
  description = "How the public host is routed (MENAGERIE_SITE_EXPOSE): gateway or ingress."
  type        = string
  default     = "gateway"

  validation {
    condition     = contains(["gateway", "ingress"], var.site_expose)
    error_message = "gateway or ingress."
  }
}

# Who is told, and when

variable "alert_emails" {
  description = "E-mail addresses that alerts and the budget write to."
  type        = set(string)
  default     = []
}

variable "least_accuracy" {
  description = "Accuracy on new pictures below which an alert is raised. Retraining has a threshold of its own: the DAG's Param min_accuracy."
  type        = number
  default     = 0.85

  validation {
    condition     = var.least_accuracy >= 0 && var.least_accuracy <= 1
    error_message = "From 0 to 1."
  }
}

variable "billing_account" {
  description = "Billing account for the budget, XXXXXX-XXXXXX-XXXXXX; empty: no budget is made (it needs roles/billing.costsManager there)."
  type        = string
  default     = ""

  validation {
    condition     = var.billing_account == "" || can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.billing_account))
    error_message = "gcloud billing accounts list shows it: XXXXXX-XXXXXX-XXXXXX."
  }
}

variable "monthly_budget" {
  description = "Budget of the project a month, in whole units of the billing account's currency; told at 50, 90 and 100 %."
  type        = number
  default     = 800

  validation {
    condition     = var.monthly_budget >= 1 && floor(var.monthly_budget) == var.monthly_budget
    error_message = "A whole number from 1."
  }
}
