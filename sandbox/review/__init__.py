"""Security review of a tool: what it did, what that means, the least it needs, what changed."""
