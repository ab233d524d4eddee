"""Menagerie's steps: everything that touches pictures and models. No Airflow in here."""
