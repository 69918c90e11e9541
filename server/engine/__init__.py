"""Models on a device."""
