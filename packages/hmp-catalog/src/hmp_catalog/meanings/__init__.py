"""What events say, by what they tell of: lifecycle, observations, workflow, portability."""
