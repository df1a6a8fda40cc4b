"""Pictures and stories of a sweep: functions of its facts. Figures are plotly's, as plain data."""
