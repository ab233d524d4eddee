# The public website's certificate. deploy makes the Gateway itself and names the map `animals-website`
# (model_service/deploy/manifests/gateway.yaml); with site_expose = "ingress" GKE makes the certificate, and none of this is needed.

locals {
  site = toset(var.site_host != "" && var.site_expose == "gateway" ? [var.site_host] : [])
}

resource "google_certificate_manager_dns_authorization" "site" {
  for_each = local.site

  name   = "animals-website"
  domain = each.value

  depends_on = [google_project_service.api]
}

resource "google_certificate_manager_certificate" "site" {
  for_each = local.site

  name = "animals-website"

  managed {
    domains            = [each.value]
    dns_authorizations = [google_certificate_manager_dns_authorization.site[each.key].id]
  }
}

resource "google_certificate_manager_certificate_map" "site" {
  for_each = local.site

  name = "animals-website"

  depends_on = [google_project_service.api]
}

resource "google_certificate_manager_certificate_map_entry" "site" {
  for_each = local.site

  name         = "animals-website"
  map          = google_certificate_manager_certificate_map.site[each.key].name
  hostname     = each.value
  certificates = [google_certificate_manager_certificate.site[each.key].id]
}
