"""What asyncflow is measured beside: the same work by hand, or by another library; nothing of it is asyncflow."""
