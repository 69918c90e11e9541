"""What training draws from a corpus: segments of audio, their rates and their pitch."""
