DROP FUNCTION outerloop_load(text);
