"""The HTTP addresses of the service."""
