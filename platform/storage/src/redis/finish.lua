-- Ends a rebuild of a shard: from now on it is loaded.
-- KEYS: loaded mark, rebuild mark.  ARGV: the rebuild's mark.  Answers 0, or -1 when the mark is gone.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return -1
end
redis.call('SET', KEYS[1], '1')
redis.call('DEL', KEYS[2])
return 0
