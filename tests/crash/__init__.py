"""What must not break an engine: everything killed that can be killed."""
