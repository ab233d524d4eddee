# The cluster that runs the steps' pods and the website. Autopilot: nodes follow the pods, Workload Identity and Dataplane V2 are built in.

resource "google_container_cluster" "main" {
  name             = var.name
  location         = var.region
  enable_autopilot = true
  network          = google_compute_network.main.id
  subnetwork       = google_compute_subnetwork.main.id

  deletion_protection = var.deletion_protection

  release_channel {
    channel = var.release_channel
  }

  ip_allocation_policy {
    cluster_secondary_range_name  = "pods"
    services_secondary_range_name = "services"
  }

  private_cluster_config {
    enable_private_nodes = true
  }

  control_plane_endpoints_config {
    dns_endpoint_config {
      allow_external_traffic = true # guarded by IAM (container.clusters.connect): Composer and people come from outside the network
    }
    ip_endpoints_config {
      enabled = var.cluster_endpoint == "private"
    }
  }

  gateway_api_config {
    channel = "CHANNEL_STANDARD"
  }

  cluster_autoscaling {
    auto_provisioning_defaults {
      service_account = google_service_account.account["menagerie-nodes"].email
      oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]
    }
  }

  maintenance_policy {
    recurring_window {
      start_time = var.maintenance_window.start
      end_time   = var.maintenance_window.end
      recurrence = var.maintenance_window.recurrence
    }
  }

  resource_labels = local.labels

  depends_on = [google_project_service.api, google_project_iam_member.nodes]
}
