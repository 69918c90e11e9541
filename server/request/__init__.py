"""One request: read, admitted, synthesized, and told."""
