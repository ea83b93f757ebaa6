"""The JSON types of the Docker Engine API, under Docker's names.

Only the door (``nbcontainers.api``) knows them. What a client leaves out, or sends as null, has Docker's default.
Answers are written where they are made (``inspection``, ``images``, …), as tables of Docker's names.

Source: Docker Engine API v1.47, ``definitions`` (moby, api/swagger.yaml).
"""
