# Secrets without values: a person adds a version (docs/composer.md), so that no value is in Terraform's state.

locals {
  # secret → the account that reads it
  secrets = {
    menagerie-registry-git-token = "menagerie-step"     # pushes dataset and model tags to the registry's git repository
    menagerie-api-signing-key    = "menagerie-composer" # signs the tokens of the coordinator's REST API
  }
}

resource "google_secret_manager_secret" "secret" {
  for_each = local.secrets

  secret_id = each.key

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each = local.secrets

  secret_id = google_secret_manager_secret.secret[each.key].id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.account[each.value].member
}
