"""Lessons on the image."""

from __future__ import annotations

import httpx


# Lesson 19: the image's default command works with what the image contains.
def test_the_images_default_command_works_with_what_the_image_contains(image_address: str) -> None:
    assert httpx.get(f"{image_address}/health", timeout=20).status_code == 200
    key = {"Authorization": "Bearer a-key-for-tests-only"}
    answer = httpx.get(f"{image_address}/api/v1/jobs", headers=key, timeout=20)
    assert (answer.status_code, answer.json()["total"]) == (200, 0)
    assert httpx.get(f"{image_address}/api/v1/jobs", timeout=20).status_code == 401
