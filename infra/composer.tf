# Airflow. DAGs, plugins and the images' digests are the build's to bring (cloudbuild.yaml), after its tests.

resource "google_composer_environment" "main" {
  name   = var.name
  region = var.region
  labels = local.labels

  config {
    environment_size = "ENVIRONMENT_SIZE_${upper(var.composer_size)}"
    resilience_mode  = var.composer_high_resilience ? "HIGH_RESILIENCE" : "STANDARD_RESILIENCE"

    node_config {
      service_account = google_service_account.account["menagerie-composer"].email
      # Only the cluster's private address needs Composer in our network.
      network    = var.cluster_endpoint == "private" ? google_compute_network.main.id : null
      subnetwork = var.cluster_endpoint == "private" ? google_compute_subnetwork.main.id : null
    }

    software_config {
      image_version           = var.composer_image
      env_variables           = local.composer_variables
      pypi_packages           = local.pypi_packages
      web_server_plugins_mode = "ENABLED" # the coordinator's pages and API are a plugin
    }

    workloads_config {
      scheduler {
        count      = local.composer.scheduler.count
        cpu        = local.composer.scheduler.cpu
        memory_gb  = local.composer.scheduler.memory
        storage_gb = local.composer.scheduler.storage
      }
      triggerer {
        count     = local.composer.triggerer.count
        cpu       = local.composer.triggerer.cpu
        memory_gb = local.composer.triggerer.memory
      }
      dag_processor {
        count      = local.composer.dag_processor.count
        cpu        = local.composer.dag_processor.cpu
        memory_gb  = local.composer.dag_processor.memory
        storage_gb = local.composer.dag_processor.storage
      }
      web_server {
        cpu        = local.composer.web_server.cpu
        memory_gb  = local.composer.web_server.memory
        storage_gb = local.composer.web_server.storage
      }
      worker {
        min_count  = local.composer.worker.least
        max_count  = local.composer.worker.most
        cpu        = local.composer.worker.cpu
        memory_gb  = local.composer.worker.memory
        storage_gb = local.composer.worker.storage
      }
    }

    maintenance_window {
      start_time = var.maintenance_window.start
      end_time   = var.maintenance_window.end
      recurrence = var.maintenance_window.recurrence
    }

    dynamic "web_server_network_access_control" {
      for_each = length(var.airflow_allowed_ranges) > 0 ? [var.airflow_allowed_ranges] : []
      content {
        dynamic "allowed_ip_range" {
          for_each = web_server_network_access_control.value
          content {
            value       = allowed_ip_range.key
            description = allowed_ip_range.value
          }
        }
      }
    }
  }

  lifecycle {
    ignore_changes = [ # the build sets them, with each image
      config[0].software_config[0].env_variables["MENAGERIE_IMAGE"],
      config[0].software_config[0].env_variables["MENAGERIE_SERVE_IMAGE"],
    ]
  }

  # The environment cannot start before its account may work.
  depends_on = [google_project_service.api, google_project_iam_member.composer]
}

check "composer_image" {
  data "google_composer_image_versions" "offered" {
    region = var.region
  }

  assert {
    condition = anytrue([
      for image in data.google_composer_image_versions.offered.image_versions :
      image.image_version_id == var.composer_image || startswith(image.image_version_id, "${var.composer_image}.") || startswith(image.image_version_id, "${var.composer_image}-")
    ])
    error_message = "${var.region} does not offer ${var.composer_image} now: gcloud composer environments list-upgrades, or the list of Composer versions, names what it offers."
  }
}
