"""The HTTP API for any language: the catalogue's messages as JSON over HTTP, and pages that describe them."""
