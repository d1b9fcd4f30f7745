"""What watches the line: its status, its alarms, live accuracy and drift."""
