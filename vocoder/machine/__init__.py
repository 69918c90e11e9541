"""What depends on the machine: devices, memory, timings."""
