-- Carried out at each start, by MariaDB's init-file and by the container's first run: one statement a line.
CREATE DATABASE IF NOT EXISTS asyncflow CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS 'asyncflow'@'%' IDENTIFIED BY 'asyncflow';
GRANT ALL PRIVILEGES ON *.* TO 'asyncflow'@'%' WITH GRANT OPTION;
