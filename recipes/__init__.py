"""What made the files that ship: networks, adapters and measurements that users need not run. Not in the wheel."""
