"""These tests run in the airflow environment."""

from tests.plugins import airflow_home as airflow_home  # sets Airflow's variables, so before any import of Airflow
