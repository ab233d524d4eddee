# Where images stand. Pods name them by digest; the build tags each with its commit, its branch (branch-<name>) and its version.

resource "google_artifact_registry_repository" "images" {
  repository_id = var.name
  location      = var.region
  format        = "DOCKER"
  description   = "Menagerie's images: train and serve, and the build's layer cache"

  docker_config {
    immutable_tags = false # a branch's tag moves with the branch
  }

  vulnerability_scanning_config {
    enablement_config = var.scan_images ? "INHERITED" : "DISABLED"
  }

  cleanup_policy_dry_run = false

  cleanup_policies { # an image that ran has its commit's tag, so it stays; layer caches lose theirs
    id     = "untagged"
    action = "DELETE"
    condition {
      tag_state  = "UNTAGGED"
      older_than = "${var.untagged_image_days * 24 * 3600}s"
    }
  }

  cleanup_policies {
    id     = "newest"
    action = "KEEP"
    most_recent_versions {
      keep_count = 10
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_artifact_registry_repository_iam_member" "reader" {
  for_each = toset(["menagerie-nodes", "menagerie-check"]) # nodes pull images; a pull request's build reads the layer cache

  repository = google_artifact_registry_repository.images.name
  location   = var.region
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.account[each.value].member
}

resource "google_artifact_registry_repository_iam_member" "writer" {
  repository = google_artifact_registry_repository.images.name
  location   = var.region
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.account["menagerie-build"].member
}
