CREATE TABLE products (id serial PRIMARY KEY, name text NOT NULL UNIQUE, price int NOT NULL CHECK (price > 0));
INSERT INTO products (name, price) VALUES ('pencil', 2), ('paper', 5);
