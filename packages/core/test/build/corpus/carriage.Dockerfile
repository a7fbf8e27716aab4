from a as One

run one \
  two
Copy --from=one a b
cmd three
