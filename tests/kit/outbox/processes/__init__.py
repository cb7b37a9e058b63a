"""Programs that tests start as processes of their own, so that they can be killed."""
