-- Ends a rebuild of a shard: from now on the shard is whole.
-- KEYS: whole, rebuilders.  ARGV: the rebuild's mark.  Answers 0, or -1 when the mark is gone and pages with it.
if redis.call('SREM', KEYS[2], ARGV[1]) == 0 then
  return -1
end
redis.call('SET', KEYS[1], '1')
return 0
