"""The door for programs that bring in support sessions and recordings: JSON, and bytes in a stream."""
