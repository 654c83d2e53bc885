"""`GET /check_health` as load balancers call it."""

from __future__ import annotations

import pytest
from django.test import Client

from sync import health
from sync.health import Health


def test_a_healthy_appliance_answers_200_and_one_sentence(client: Client):
    health.write(Health(True, health.HEALTHY))
    response = client.get("/check_health")
    assert response.status_code == 200
    assert response.content == b"This appliance is healthy.\n"
    assert dict(response.headers) == {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": "27",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }


def test_an_unhealthy_appliance_answers_500_and_does_not_say_why(client: Client):
    health.write(Health(False, "The disk is nearly full."))
    response = client.get("/check_health")
    assert response.status_code == 500
    assert response.content == b"This appliance is not healthy.\n"


def test_without_a_report_of_the_role_worker_the_answer_is_500(client: Client):
    assert client.get("/check_health").status_code == 500


def test_head_answers_like_get_without_the_text(client: Client):
    health.write(Health(True, health.HEALTHY))
    response = client.head("/check_health")
    assert (response.status_code, response.content, response["Content-Length"]) == (200, b"", "27")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "NONSENSE"])
def test_other_methods_are_answered_405(client: Client, method: str):
    response = client.generic(method, "/check_health")
    assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")


def test_plain_http_and_an_unknown_host_name_are_answered_without_redirect(client: Client, settings):
    settings.SECURE_SSL_REDIRECT = True
    settings.ALLOWED_HOSTS = ["support.example.com"]
    health.write(Health(True, health.HEALTHY))
    response = client.get("/check_health?a=%ff", headers={"host": "10.0.0.1:80", "accept": "nonsense"})
    assert response.status_code == 200


def test_no_database_is_asked(client: Client):
    """Without the database mark, pytest-django refuses every connection."""
    health.write(Health(True, health.HEALTHY))
    assert client.get("/check_health").status_code == 200
