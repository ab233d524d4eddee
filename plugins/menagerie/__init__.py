"""The coordinator's side of Menagerie: settings, decisions and launchers. No pictures and no models in here."""
