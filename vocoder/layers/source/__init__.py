"""The source of a student's noise: pitch, harmonics and excitation."""
