"""One request: read, admitted, synthesized, and answered."""
