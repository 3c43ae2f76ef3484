"""Pictures: each file computes nothing, it draws what it is given."""
