"""What a student takes over from its teacher."""
