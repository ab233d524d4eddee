# Cloud Build: tests, images, then DAGs and plugins into Composer (cloudbuild.yaml).

locals {
  dags_bucket = split("/", google_composer_environment.main.config[0].dag_gcs_prefix)[2]
}

# `gcloud builds submit` puts the source here; a push needs no staging.
resource "google_storage_bucket" "builds" {
  name                        = "${var.bucket_prefix}menagerie_builds"
  location                    = local.bucket_location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true # sources of builds: their origin is git

  soft_delete_policy {
    retention_duration_seconds = 0
  }

  lifecycle_rule {
    condition {
      age = 14
    }
    action {
      type = "Delete"
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_storage_bucket_iam_member" "builds" {
  bucket = google_storage_bucket.builds.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.account["menagerie-build"].member
}

resource "google_storage_bucket_iam_member" "dags" {
  for_each = toset(["roles/storage.objectUser", "roles/storage.legacyBucketReader"]) # sync dags/ and plugins/, deletions too

  bucket = local.dags_bucket
  role   = each.value
  member = google_service_account.account["menagerie-build"].member
}

resource "google_project_iam_custom_role" "build" {
  role_id     = "menagerieBuild"
  title       = "Menagerie build"
  description = "Sets the images and packages of the Composer environment, asks Airflow what it loaded, scans images"
  permissions = concat([
    "composer.environments.executeAirflowCommand",
    "composer.environments.get",
    "composer.environments.update",
    "composer.operations.get",
    ], var.scan_images ? [
    "ondemandscanning.operations.get",
    "ondemandscanning.operations.wait",
    "ondemandscanning.scans.analyzePackages",
    "ondemandscanning.scans.listVulnerabilities",
    "ondemandscanning.scans.scan",
  ] : [])
}

resource "google_project_iam_member" "build" {
  for_each = merge({
    environment = google_project_iam_custom_role.build.name
    logs        = "roles/logging.logWriter"
    }, var.scan_images ? { # the bill of materials
    notes       = "roles/containeranalysis.notes.editor"
    occurrences = "roles/containeranalysis.occurrences.editor"
  } : {})

  project = var.project
  role    = each.value
  member  = google_service_account.account["menagerie-build"].member
}

# A pull request's build tests and tries; it writes a log, and the registry lets it read (registry.tf).
resource "google_project_iam_member" "check" {
  project = var.project
  role    = "roles/logging.logWriter"
  member  = google_service_account.account["menagerie-check"].member
}

# Who updates an environment acts as its account.
resource "google_service_account_iam_member" "build_acts_as_composer" {
  service_account_id = google_service_account.account["menagerie-composer"].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.account["menagerie-build"].member
}

locals {
  # What starts a build, when a repository is connected. A tag is built and pushed; the branch is rolled out, too.
  triggers = { for name, trigger in {
    branch = { file = "cloudbuild.yaml", account = "menagerie-build", substitutions = local.build_substitutions }
    tag    = { file = "cloudbuild.yaml", account = "menagerie-build", substitutions = local.build_substitutions }
    pull   = { file = "infra/build/pullrequest.yaml", account = "menagerie-check", substitutions = local.check_substitutions }
  } : name => trigger if var.build_repository != "" }
  release_branch = "^${replace(var.build_branch, ".", "\\.")}$"
}

resource "google_cloudbuild_trigger" "build" {
  for_each = local.triggers

  name            = "${var.name}-${each.key}"
  description     = "Menagerie: what happens on a ${each.key}"
  location        = split("/", var.build_repository)[3]
  filename        = each.value.file
  service_account = google_service_account.account[each.value.account].id
  substitutions   = each.value.substitutions

  repository_event_config {
    repository = var.build_repository

    dynamic "push" {
      for_each = each.key == "pull" ? [] : [each.key]
      content {
        branch = push.value == "branch" ? local.release_branch : null
        tag    = push.value == "tag" ? ".*" : null
      }
    }

    dynamic "pull_request" {
      for_each = each.key == "pull" ? [each.key] : []
      content {
        branch          = local.release_branch
        comment_control = "COMMENTS_ENABLED_FOR_EXTERNAL_CONTRIBUTORS_ONLY"
      }
    }
  }

  depends_on = [google_project_service.api]
}
