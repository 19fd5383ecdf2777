-- What the demo's reviews are made of, on the front: customers' names and products.
SET client_min_messages = warning;
CREATE SCHEMA demo;

-- The customer with a given rank: "mary.smith", and further down "mary.smith7".
CREATE FUNCTION demo.customer(rank int) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT given[1 + rank % 25] || '.' || family[1 + rank / 25 % 20] || coalesce(nullif(rank / 500, 0)::text, '')
    FROM (VALUES (
        '{mary,james,wei,fatima,juan,olga,ahmed,yuki,anna,luca,priya,david,chen,sofia,omar,
          emma,ivan,aisha,peter,lena,carlos,nina,kofi,ingrid,tom}'::text[],
        '{smith,garcia,wang,mueller,khan,silva,ivanova,tanaka,rossi,kim,
          patel,dubois,nowak,jansen,okafor,berg,cohen,lopez,haddad,brown}'::text[])) AS names (given, family)
$$;

CREATE FUNCTION demo.product_id(n int) RETURNS char(10) LANGUAGE sql IMMUTABLE AS $$
    SELECT 'B' || lpad(n::text, 9, '0')
$$;

CREATE TABLE demo.product AS
SELECT n,
       demo.product_id(n) AS product_id,
       (ARRAY['The Art of','A Short History of','Advanced','Practical','The Secret Life of',
              'An Introduction to','Beyond','Forgotten'])[1 + n % 8] || ' ' ||
       (ARRAY['Gardening','Databases','Cooking','Sailing','Astronomy','Chess','Bicycles',
              'Mushrooms','Bridges','Weather','Jazz','Typography','Volcanoes'])[1 + n % 13] AS title,
       (n::bigint * 7919) % 1000000 AS sales_rank,
       (ARRAY['Book','Book','Book','Music','DVD','Video'])[1 + n % 6] AS product_group,
       (ARRAY['Science','Leisure','Travel','Arts','Home'])[1 + n % 5] AS category,
       (ARRAY['General','Classics','Guides','Reference'])[1 + n % 4] AS subcategory,
       ARRAY[demo.product_id(1 + n % 500), demo.product_id(1 + n * 7 % 500)] AS similar_ids
FROM generate_series(1, 500) AS n;
ALTER TABLE demo.product ADD PRIMARY KEY (n);
ANALYZE demo.product;
