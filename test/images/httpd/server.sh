apt-get install -q -y --no-install-recommends apache2-bin media-types
prefix=/usr/local/apache2
mkdir -p $prefix/bin $prefix/conf/extra $prefix/htdocs $prefix/cgi-bin $prefix/logs
ln -s /usr/lib/apache2/modules $prefix/modules
cp /etc/mime.types $prefix/conf/mime.types
chown -R www-data:www-data $prefix/htdocs
