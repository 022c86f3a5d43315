module ron-kms/test/peers/go-sumdb

go 1.18

require golang.org/x/mod v0.17.0
