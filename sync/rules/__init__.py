"""What is decided: values in, values out. No Django, no clock, no socket."""
