# The four buckets (the contract's layout), and word of each arrival.

resource "google_storage_bucket" "data" {
  for_each = local.buckets

  name                        = each.value
  location                    = local.bucket_location
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = var.force_destroy

  versioning {
    enabled = true
  }

  soft_delete_policy {
    retention_duration_seconds = var.soft_delete_days * 24 * 3600
  }

  lifecycle_rule { # old versions
    condition {
      days_since_noncurrent_time = var.noncurrent_days
      with_state                 = "ARCHIVED"
    }
    action {
      type = "Delete"
    }
  }

  lifecycle_rule {
    condition {
      age = 7
    }
    action {
      type = "AbortIncompleteMultipartUpload"
    }
  }

  dynamic "lifecycle_rule" { # reports are read when they are new
    for_each = each.key == "animals_predicted" ? [var.cold_reports_days] : []
    content {
      condition {
        age                   = lifecycle_rule.value
        matches_storage_class = ["STANDARD"]
      }
      action {
        type          = "SetStorageClass"
        storage_class = "NEARLINE"
      }
    }
  }

  dynamic "lifecycle_rule" {
    for_each = each.key == "animals_all" && var.quarantine_days > 0 ? [var.quarantine_days] : []
    content {
      condition {
        age            = lifecycle_rule.value
        matches_prefix = ["_quarantine/"]
        with_state     = "LIVE"
      }
      action {
        type = "Delete"
      }
    }
  }

  dynamic "lifecycle_rule" { # checkpoints: 250 MB each, of no use once the model is whole; a training lasts two weeks at most
    for_each = each.key == "animals_models" ? [15] : []
    content {
      condition {
        age            = lifecycle_rule.value
        matches_prefix = ["runs/"]
        matches_suffix = [".safetensors"]
        with_state     = "LIVE"
      }
      action {
        type = "Delete"
      }
    }
  }

  dynamic "lifecycle_rule" { # and those that were deleted
    for_each = each.key == "animals_models" ? [1] : []
    content {
      condition {
        days_since_noncurrent_time = lifecycle_rule.value
        matches_prefix             = ["runs/"]
        matches_suffix             = [".safetensors"]
        with_state                 = "ARCHIVED"
      }
      action {
        type = "Delete"
      }
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_pubsub_topic" "arrivals" {
  name                       = "animals-arrivals"
  message_retention_duration = "86400s"

  depends_on = [google_project_service.api]
}

data "google_storage_project_service_account" "this" {
  depends_on = [google_project_service.api]
}

resource "google_pubsub_topic_iam_member" "arrivals" {
  topic  = google_pubsub_topic.arrivals.id
  role   = "roles/pubsub.publisher"
  member = "serviceAccount:${data.google_storage_project_service_account.this.email_address}"
}

resource "google_storage_notification" "arrivals" {
  bucket         = google_storage_bucket.data["animals_all"].name
  topic          = google_pubsub_topic.arrivals.id
  payload_format = "JSON_API_V1"
  event_types    = ["OBJECT_FINALIZE"]

  depends_on = [google_pubsub_topic_iam_member.arrivals]
}
