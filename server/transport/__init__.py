"""Sockets, bodies, clients that leave, and draining."""
