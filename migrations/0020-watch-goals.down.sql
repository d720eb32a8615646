DROP TABLE goal_watches;
