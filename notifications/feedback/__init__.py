"""What the provider tells of the mail: proved, read, applied once each."""
