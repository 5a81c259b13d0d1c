"""Control the pace of calls: advertised and learned rate limits, the adaptive window."""
