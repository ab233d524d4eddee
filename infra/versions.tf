# One project holds one environment of Menagerie: dev and prod are two projects, each with its own .tfvars and state.

terraform {
  required_version = ">= 1.9" # a variable's validation may name other variables

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 7.0"
    }
  }

  # terraform init -backend-config="bucket=…": the state's bucket exists before all this (docs/composer.md)
  backend "gcs" {
    prefix = "menagerie"
  }
}

provider "google" {
  project               = var.project
  region                = var.region
  user_project_override = true # the budget API counts its calls against a project
  billing_project       = var.project
  default_labels        = local.labels
}

data "google_project" "this" {
  project_id = var.project
}
