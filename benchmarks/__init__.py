"""Side by side with real peers, in one run."""
