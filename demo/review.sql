-- pgbench: one review, written by a customer chosen after Zipf (a few write much,
-- most write little), of a product chosen likewise.
\set customer random_zipfian(1, 3000, 1.05)
\set product random_zipfian(1, 500, 1.05)
\set day random(0, 3000)
\set rating least(5, random(1, 8))
\set votes random_exponential(0, 200, 10)
\set helpful random(0, :votes)
SELECT add_review(demo.customer(:customer), DATE '2016-01-01' + :day, :rating, :votes, :helpful,
                  product_id, title, sales_rank, product_group, category, subcategory, similar_ids)
FROM demo.product WHERE n = :product;
