DROP TABLE memory_entries;
